"""The words of the mini corpora: one row per concept, one column per language.

A row is `English | Spanish | French`; the words inside a cell are the inflected forms named above
the table. To add a concept, add a row: nothing else has to change.
"""

LANGUAGES = ("en", "es", "fr")

# singular plural [gender]
THINGS = """
key keys | llave llaves f | clé clés f
lamp lamps | lámpara lámparas f | lampe lampes f
chair chairs | silla sillas f | chaise chaises f
table tables | mesa mesas f | table tables f
book books | libro libros m | livre livres m
hat hats | sombrero sombreros m | chapeau chapeaux m
coat coats | abrigo abrigos m | manteau manteaux m
bicycle bicycles | bicicleta bicicletas f | vélo vélos m
cup cups | taza tazas f | tasse tasses f
plate plates | plato platos m | assiette assiettes f
box boxes | caja cajas f | boîte boîtes f
basket baskets | cesta cestas f | panier paniers m
bottle bottles | botella botellas f | bouteille bouteilles f
clock clocks | reloj relojes m | horloge horloges f
mirror mirrors | espejo espejos m | miroir miroirs m
picture pictures | cuadro cuadros m | tableau tableaux m
letter letters | carta cartas f | lettre lettres f
newspaper newspapers | periódico periódicos m | journal journaux m
umbrella umbrellas | paraguas paraguas m | parapluie parapluies m
shoe shoes | zapato zapatos m | chaussure chaussures f
glove gloves | guante guantes m | gant gants m
suitcase suitcases | maleta maletas f | valise valises f
guitar guitars | guitarra guitarras f | guitare guitares f
ball balls | pelota pelotas f | balle balles f
doll dolls | muñeca muñecas f | poupée poupées f
phone phones | teléfono teléfonos m | téléphone téléphones m
candle candles | vela velas f | bougie bougies f
blanket blankets | manta mantas f | couverture couvertures f
ladder ladders | escalera escaleras f | échelle échelles f
pencil pencils | lápiz lápices m | crayon crayons m
carpet carpets | alfombra alfombras f | tapis tapis m
flag flags | bandera banderas f | drapeau drapeaux m
"""

# [kind] singular [gender]; kind: noun "the doctor", kin "my brother", name "laura"
PEOPLE = """
noun doctor | médico m | médecin m
noun teacher | profesora f | professeur m
noun farmer | granjero m | fermier m
noun baker | panadero m | boulanger m
noun nurse | enfermera f | infirmière f
noun student | estudiante m | étudiant m
noun singer | cantante f | chanteuse f
noun driver | conductor m | chauffeur m
noun cook | cocinera f | cuisinière f
noun painter | pintor m | peintre m
noun soldier | soldado m | soldat m
noun queen | reina f | reine f
noun king | rey m | roi m
noun woman | mujer f | femme f
noun man | hombre m | homme m
noun girl | niña f | fille f
noun boy | niño m | garçon m
noun lawyer | abogada f | avocate f
noun neighbour | vecina f | voisine f
kin brother | hermano m | frère m
kin sister | hermana f | sœur f
kin mother | madre f | mère f
kin father | padre m | père m
kin aunt | tía f | tante f
kin friend | amigo m | ami m
name david | david m | david m
name laura | laura f | laura f
name sara | sara f | sara f
name emma | emma f | emma f
name clara | clara f | clara f
"""

# masculine feminine; a star before the Spanish cell: a passing state, said with "estar"
ADJECTIVES = """
red | rojo roja | rouge rouge
green | verde verde | vert verte
white | blanco blanca | blanc blanche
black | negro negra | noir noire
yellow | amarillo amarilla | jaune jaune
blue | azul azul | bleu bleue
new | nuevo nueva | neuf neuve
broken | * roto rota | cassé cassée
dirty | * sucio sucia | sale sale
clean | * limpio limpia | propre propre
heavy | pesado pesada | lourd lourde
round | redondo redonda | rond ronde
expensive | caro cara | cher chère
strong | fuerte fuerte | solide solide
"""

# preposition singular [gender]; Spanish always says "en"
PLACES = """
at market | mercado m | à marché m
at station | estación f | à gare f
at school | escuela f | à école f
in church | iglesia f | dans église f
in kitchen | cocina f | dans cuisine f
in garden | jardín m | dans jardin m
in park | parque m | dans parc m
at hospital | hospital m | à hôpital m
at hotel | hotel m | à hôtel m
in library | biblioteca f | à bibliothèque f
in museum | museo m | dans musée m
at theatre | teatro m | à théâtre m
in village | pueblo m | dans village m
in city | ciudad f | dans ville f
in office | oficina f | dans bureau m
in forest | bosque m | dans forêt f
in street | calle f | dans rue f
in shop | tienda f | dans magasin m
at airport | aeropuerto m | à aéroport m
"""

# infinitive present past (French: participle with "a")
ACTIONS = """
find finds found | encontrar encuentra encontró | trouver trouve trouvé
buy buys bought | comprar compra compró | acheter achète acheté
sell sells sold | vender vende vendió | vendre vend vendu
lose loses lost | perder pierde perdió | perdre perd perdu
see sees saw | ver ve vio | voir voit vu
carry carries carried | llevar lleva llevó | porter porte porté
bring brings brought | traer trae trajo | apporter apporte apporté
keep keeps kept | guardar guarda guardó | garder garde gardé
break breaks broke | romper rompe rompió | casser casse cassé
repair repairs repaired | reparar repara reparó | réparer répare réparé
take takes took | tomar toma tomó | prendre prend pris
choose chooses chose | elegir elige eligió | choisir choisit choisi
forget forgets forgot | olvidar olvida olvidó | oublier oublie oublié
leave leaves left | dejar deja dejó | laisser laisse laissé
"""

# infinitive present past: what one does to somebody with something
GIVING = """
give gives gave | dar da dio | donner donne donné
show shows showed | mostrar muestra mostró | montrer montre montré
send sends sent | enviar envía envió | envoyer envoie envoyé
lend lends lent | prestar presta prestó | prêter prête prêté
"""

# present past plural
ACTIVITIES = """
sings sang sing | canta cantó cantan | chante chanté chantent
works worked work | trabaja trabajó trabajan | travaille travaillé travaillent
sleeps slept sleep | duerme durmió duermen | dort dormi dorment
eats ate eat | come comió comen | mange mangé mangent
waits waited wait | espera esperó esperan | attend attendu attendent
dances danced dance | baila bailó bailan | danse dansé dansent
runs ran run | corre corrió corren | court couru courent
laughs laughed laugh | ríe rió ríen | rit ri rient
plays played play | juega jugó juegan | joue joué jouent
walks walked walk | camina caminó caminan | marche marché marchent
"""

# the tables below hold whole phrases
NUMBERS = """
two | dos | deux
three | tres | trois
four | cuatro | quatre
five | cinco | cinq
six | seis | six
seven | siete | sept
eight | ocho | huit
nine | nueve | neuf
ten | diez | dix
eleven | once | onze
twelve | doce | douze
"""

PAST_TIMES = """
yesterday | ayer | hier
last week | la semana pasada | la semaine dernière
last year | el año pasado | l'année dernière
on monday | el lunes | lundi
this morning | esta mañana | ce matin
three days ago | hace tres días | il y a trois jours
"""

PRESENT_TIMES = """
every day | todos los días | tous les jours
today | hoy | aujourd'hui
now | ahora | maintenant
in the morning | por la mañana | le matin
in the evening | por la noche | le soir
in winter | en invierno | en hiver
at noon | al mediodía | à midi
"""

FUTURE_TIMES = """
tomorrow | mañana | demain
next week | la semana próxima | la semaine prochaine
next year | el año próximo | l'année prochaine
tonight | esta noche | ce soir
soon | pronto | bientôt
on saturday | el sábado | samedi
"""

OFTEN = """
always | siempre | toujours
often | frecuentemente | souvent
rarely | raramente | rarement
"""

MODALS = """
will | va a | va
wants to | quiere | veut
can | puede | peut
must | debe | doit
"""
